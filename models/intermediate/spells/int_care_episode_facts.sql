-- One row per episode of care: annual returns repeat an episode, and it counts once. The facts about the episodes that
-- start on a day come from the latest return that has any; identical records within it count once. A later return that
-- corrects the start of an episode tells of another one that began earlier and ran past the end of the earlier return's
-- year: a child is in one episode at a time, so what the earlier return alone said of that time is withdrawn
-- (definitions, section 3).

with
records as (

    select * from {{ ref('stg_ssda903__episodes') }}

),

days as (

    select * from {{ ref('int_care_episode_days') }}

),

short_break_codes as (

    select * from {{ ref('code_groups') }}
    where code_group = 'short_break'

),

latest_records as (

    select
        records.*,
        days.is_end_conflicting,
        days.n_returns,
        days.first_return_year,
        row_number() over (
            partition by
                records.la_code, records.child_id, records.episode_start, records.episode_end,
                records.reason_new_episode, records.reason_episode_ceased, records.legal_status, records.placement,
                records.need_code
            order by records.record_no, records.return_id
        ) as copy_no
    from records
    inner join days
        on
            records.la_code = days.la_code
            and records.child_id = days.child_id
            and records.episode_start = days.episode_start
            and records.return_year = days.last_return_year

),

distinct_records as (

    select
        latest_records.*,
        short_break_codes.code is not null as is_short_break
    from latest_records
    left join short_break_codes on latest_records.legal_status = short_break_codes.code
    where latest_records.copy_no = 1

),

days_withdrawn as (

    select
        stale.la_code,
        stale.child_id,
        stale.episode_start,
        stale.is_short_break,
        min(corrected.first_return_year) as withdrawn_by_return_year
    from distinct_records as stale
    inner join distinct_records as corrected
        on
            stale.la_code = corrected.la_code
            and stale.child_id = corrected.child_id
            and stale.is_short_break = corrected.is_short_break
            and stale.return_year < corrected.first_return_year
            and stale.episode_start > corrected.episode_start
    where
        stale.episode_start <= {{ return_year_end('stale.return_year') }}
        and (
            corrected.episode_end is null
            or corrected.episode_end > {{ return_year_end('stale.return_year') }}
        )
    group by stale.la_code, stale.child_id, stale.episode_start, stale.is_short_break

),

final as (

    select
        distinct_records.la_code,
        distinct_records.child_id,
        distinct_records.episode_start,
        cast(
            row_number() over (
                partition by distinct_records.la_code, distinct_records.child_id, distinct_records.episode_start
                order by
                    case when distinct_records.episode_end is null then 1 else 0 end,
                    distinct_records.episode_end,
                    distinct_records.record_no,
                    distinct_records.return_id
            ) as integer
        ) as place_in_day,
        case
            when distinct_records.episode_end < distinct_records.episode_start then distinct_records.episode_start
            else distinct_records.episode_end
        end as episode_end,
        coalesce(distinct_records.episode_end < distinct_records.episode_start, false) as is_end_before_start,
        distinct_records.reason_new_episode,
        distinct_records.reason_episode_ceased,
        distinct_records.legal_status,
        distinct_records.need_code,
        distinct_records.placement,
        distinct_records.placement_provider,
        distinct_records.is_short_break,
        distinct_records.is_end_conflicting,
        distinct_records.n_returns,
        distinct_records.first_return_year,
        distinct_records.return_year as last_return_year,
        days_withdrawn.withdrawn_by_return_year
    from distinct_records
    left join days_withdrawn
        on
            distinct_records.la_code = days_withdrawn.la_code
            and distinct_records.child_id = days_withdrawn.child_id
            and distinct_records.episode_start = days_withdrawn.episode_start
            and distinct_records.is_short_break = days_withdrawn.is_short_break

)

select * from final
