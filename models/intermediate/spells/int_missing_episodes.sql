-- One row per time a looked-after child was missing or away from placement: authority, child, start and type. The end
-- comes from the latest return that carries it, even where that says the child is still missing; an end before the
-- start is set to the start and flagged (definitions, section 3).

with
records as (

    select * from {{ ref('stg_ssda903__missing') }}

),

records_in_order as (

    -- One order serves every question, so that the records are sorted once.
    select
        *,
        lead(return_year) over (
            partition by child_id, missing_start, missing_type
            order by return_year, record_no, return_id
        ) is null as is_latest,
        lag(return_year) over (
            partition by child_id, missing_start, missing_type
            order by return_year, record_no, return_id
        ) as previous_return_year
    from records

),

episodes as (

    select
        la_code,
        child_id,
        missing_start,
        missing_type,
        max(case when is_latest then missing_end end) as missing_end_stated,
        coalesce(min(missing_end) <> max(missing_end), false) as is_end_conflicting,
        cast(
            sum(case when previous_return_year is null or previous_return_year < return_year then 1 else 0 end)
            as integer
        ) as n_returns,
        min(return_year) as first_return_year,
        max(return_year) as last_return_year
    from records_in_order
    group by la_code, child_id, missing_start, missing_type

),

final as (

    select
        la_code,
        child_id,
        missing_start,
        missing_type,
        case when missing_end_stated is not null then greatest(missing_end_stated, missing_start) end as missing_end,
        missing_end_stated is null as is_open_at_data_end,
        coalesce(missing_end_stated < missing_start, false) as is_end_before_start,
        is_end_conflicting,
        n_returns,
        first_return_year,
        last_return_year
    from episodes

)

select * from final
