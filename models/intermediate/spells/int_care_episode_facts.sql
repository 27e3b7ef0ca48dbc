-- One row per episode of care: annual returns repeat an episode, and it counts once. The facts about the episodes that
-- start on a day come from the latest return that has any; identical records within it count once
-- (definitions, section 3).

with
records as (

    select * from {{ ref('stg_ssda903__episodes') }}

),

short_break_codes as (

    select * from {{ ref('code_groups') }}
    where code_group = 'short_break'

),

records_ranked as (

    select
        *,
        rank() over (partition by la_code, child_id, episode_start order by return_year desc) as recency,
        min(return_year) over (partition by la_code, child_id, episode_start) as first_return_year
    from records

),

latest_records as (

    select
        *,
        row_number() over (
            partition by
                la_code, child_id, episode_start, episode_end, reason_new_episode, reason_episode_ceased, legal_status,
                placement, need_code
            order by record_no, return_id
        ) as copy_no
    from records_ranked
    where recency = 1

),

final as (

    select
        latest_records.la_code,
        latest_records.child_id,
        latest_records.episode_start,
        cast(
            row_number() over (
                partition by latest_records.la_code, latest_records.child_id, latest_records.episode_start
                order by
                    case when latest_records.episode_end is null then 1 else 0 end,
                    latest_records.episode_end,
                    latest_records.record_no,
                    latest_records.return_id
            ) as integer
        ) as place_in_day,
        case
            when latest_records.episode_end < latest_records.episode_start then latest_records.episode_start
            else latest_records.episode_end
        end as episode_end,
        coalesce(latest_records.episode_end < latest_records.episode_start, false) as is_end_before_start,
        latest_records.reason_new_episode,
        latest_records.reason_episode_ceased,
        latest_records.legal_status,
        latest_records.need_code,
        latest_records.placement,
        latest_records.placement_provider,
        short_break_codes.code is not null as is_short_break,
        latest_records.first_return_year,
        latest_records.return_year as last_return_year
    from latest_records
    left join short_break_codes on latest_records.legal_status = short_break_codes.code
    where latest_records.copy_no = 1

)

select * from final
